"""From a general model to one person: pivotal tuning on a picture or a few seconds of video."""
