"""What answers questions about pictures: a vLLM engine in the actor, or a server that speaks OpenAI's protocol."""
