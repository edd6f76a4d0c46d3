"""Is an H-alpha frame good, and if not, why and where (after SIQA, Jarolim et al. 2020)."""
