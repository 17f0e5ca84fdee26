"""Labels by models with Ray Data: the job, the actors that hold the model, and drawing of clips."""
