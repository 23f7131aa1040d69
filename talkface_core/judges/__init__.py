"""Trained networks of others that say whose face a picture shows and how alike two pictures look; frozen."""
