"""Token counts where a log has the text of a call and not its usage. The rules: docs/estimates.md."""
