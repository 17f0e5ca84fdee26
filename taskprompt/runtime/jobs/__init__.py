"""Jobs on a remote cluster, through its dashboard: packaging, submitting, following and stopping."""
