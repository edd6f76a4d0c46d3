"""Aurora, cloud and Moon on pictures of the whole sky: features, six classes and a cloud map."""
