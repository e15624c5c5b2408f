"""The projections between hidden states and attention: their matrices, their places and their widths.

matrices    projections of one layer, head by head
role_patterns  which projection a parameter's name stands for
find        which parameters of a module are which projection
layouts     the known ways to lay matrices out in parameters
arguments   a function's parameters as the places of its projections
discover_loader a module that says itself where its projections go
widths      hidden states and projections for a module of another width
"""
