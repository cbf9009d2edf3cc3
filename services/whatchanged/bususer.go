package main

import "whatchanged/pkg/bus"

// busUser names who a process is to the NATS servers: the service that it runs,
// or serve when it runs all of them. A service has its user's name.
func busUser(services []string, whole bool) string {
	if whole || len(services) != 1 {
		return bus.UserServe
	}
	return services[0]
}
