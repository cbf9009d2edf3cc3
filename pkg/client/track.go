package client

import "context"

// ActorInfo says of an actor what its id does not.
type ActorInfo struct {
	Name string // for people
	Type string // engineer, ci_system, secret_manager, alerting, ...
}

// Actor is somebody, perhaps in a session, who does things. It can be kept and
// used again, also by several goroutines.
type Actor struct {
	client *Client
	who    NewEvent
}

// Actor names who did what is tracked next:
//
//	c.Actor("eng_k4m8p2", client.ActorInfo{Name: "Priya Sharma", Type: "engineer"}).
//		Session("sess_b2c3d4e5").
//		Track(ctx, "config.changed", "service", map[string]any{"service": "api-gateway"})
func (c *Client) Actor(id string, info ActorInfo) Actor {
	return Actor{client: c, who: NewEvent{ActorID: id, ActorName: info.Name, ActorType: info.Type}}
}

// Session names the session that what is tracked next is part of.
func (a Actor) Session(id string) Actor {
	a.who.SessionID = id
	return a
}

// Track records that the actor did action to a resource. Which one, the server
// takes from the service, secret_path or incident_id in metadata; SendEvent can
// say it, and when it happened.
func (a Actor) Track(ctx context.Context, action, resource string, metadata map[string]any) (WrittenEvent, error) {
	in := a.who
	in.Action, in.Resource, in.Metadata = action, resource, metadata
	return a.client.SendEvent(ctx, in, WriteOptions{})
}
