"""The hands: ingester, Celery worker, pipelines and products."""
