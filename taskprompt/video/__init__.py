"""Video files and clips: containers, decoding, frame sampling, and augmentation of clips with their labels."""
