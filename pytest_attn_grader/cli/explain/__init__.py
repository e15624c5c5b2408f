"""The catalogue of mistakes as a static site: `attn-grader explain --html OUT`."""
