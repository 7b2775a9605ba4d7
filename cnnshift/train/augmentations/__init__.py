"""Augmentations of training images, one per file; `cnnshift.train.augment` combines them."""
