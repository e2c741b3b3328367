"""An adapter and its base model in, one GGUF file with its Ollama Modelfile out."""
