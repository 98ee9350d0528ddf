"""What commands and the demo share on the terminal: how faults read, how records read, how signals end them."""
