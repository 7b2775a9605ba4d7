"""What may happen to training images, one augmentation a file; `cnnshift.train.augment` combines them."""
