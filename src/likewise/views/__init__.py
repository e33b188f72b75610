"""What the network is shown: random views made batched, on the device, with their geometry."""
