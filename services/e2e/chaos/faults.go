package main

import "slices"

// faults is every fault there is, in the order of the report.
func faults() []Fault {
	return slices.Concat(
		processFaults(),
		pointFaults(),
		netFaults(),
		powerFaults(),
		diskFaults(),
		damageFaults(),
	)
}
