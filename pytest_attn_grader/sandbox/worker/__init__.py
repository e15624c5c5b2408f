"""The worker process that runs the student's code.

Imports the standard library, torch and safetensors only, and nothing else of this package.
"""
