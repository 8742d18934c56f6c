"""From data to a TorchScript file: `python -m train NAME --data DIR`, then `python -m train.export NAME RUN`."""
