"""Who is served next: jobs, the queue, the policy. No torch."""
