"""Video files and what is done to clips: containers, decoding, frame sampling, augmentation that moves labels."""
