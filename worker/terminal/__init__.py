"""What commands and the demo share on the terminal: how faults, records and addresses read, how signals end them."""
