"""What an identity file carries beyond latents: tuned parts of the generator, and how a person moves."""
