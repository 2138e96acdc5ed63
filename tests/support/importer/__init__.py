"""The platform's own importer as a judge of what is sent, and kinds of input to judge."""
