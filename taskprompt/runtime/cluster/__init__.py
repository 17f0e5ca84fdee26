"""Connecting to or starting a cluster: resources, autoscaling, ports, and failures."""
