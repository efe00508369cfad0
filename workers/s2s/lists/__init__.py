"""Lists of senders that other servers publish at nodes (real-time block lists): subscribed to, and held against strangers."""
