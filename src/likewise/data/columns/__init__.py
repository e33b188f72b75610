"""What an example has beside its pixels: captions, masks, groups, boxes."""
