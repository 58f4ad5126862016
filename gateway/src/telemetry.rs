//! Logs: to stderr, as text for people or as JSON for machines. Never prompts, message text or keys.
