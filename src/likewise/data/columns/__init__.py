"""What an example has besides its pixels: captions, masks, groups, boxes."""
