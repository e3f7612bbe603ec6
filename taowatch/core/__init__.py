"""The decisions: values in, values out. Nothing in here touches the machine."""
