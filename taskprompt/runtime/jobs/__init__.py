"""Jobs sent to the dashboard of a cluster that runs elsewhere: what is sent, followed and stopped."""
