package main

//lint:ignore U1000 the linker calls it (-E main.hang)
func hang()
