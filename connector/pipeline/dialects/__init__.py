"""The shapes that one callback URL can receive, each brought to a `Callback` or named; `recognise` holds the table."""
