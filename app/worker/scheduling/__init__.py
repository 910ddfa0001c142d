"""Which job the device serves next: jobs, the queue, the policy. No torch."""
