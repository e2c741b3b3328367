"""Datasets and a base model in, a LoRA adapter out; training runs in a process of its own."""
