"""From the world to events: filter, settle, queue. No decisions."""
