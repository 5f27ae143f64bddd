"""Events as MediaWiki's streams carry them, and what a redaction makes of them."""
