"""Engines that answer questions about images: vLLM in the actor, or an OpenAI-compatible server."""
