"""What maps one frame to a feature map: the lower spatial convolutional layers."""
