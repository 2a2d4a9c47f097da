"""What comes back: opens, delivery reports, bounces, unsubscribes, STOP; into push_receipts and suppressions."""
