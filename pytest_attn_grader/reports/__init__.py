"""The report and its views. The JSON document is made once; everything else is read from it."""
