"""The gate of CI: instructions and allocations per packet, exact under callgrind, against a budget."""
