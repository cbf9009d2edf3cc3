package main

import (
	"sync"
	"sync/atomic"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
	"whatchanged/pkg/registry"
)

// maxSettings bounds the settings that are kept ready; beyond it they are made
// anew.
const maxSettings = 4096

// settings is what the registry adds to each delivery, made ready once for
// each version of a source. Looking it up takes no lock and allocates nothing.
type settings struct {
	registry *registry.Registry

	sources sync.Map // *registry.Source, which is one version of it, to *normalizers.Settings
	orgs    sync.Map // *registry.Org, to the settings of what came by no source
	size    atomic.Int64
}

// of returns what the registry adds to a source's deliveries. A source that is
// gone adds nothing; what it delivered is still normalized.
func (s *settings) of(org, sourceID string) normalizers.Settings {
	src, ok := s.registry.Source(org, sourceID)
	if !ok {
		return s.ofOrg(org)
	}
	ready, ok := s.sources.Load(src)
	if !ok {
		ready = s.keep(&s.sources, src, &normalizers.Settings{
			DefaultEnvironment: src.DefaultEnvironment,
			IgnoreEvents:       src.IgnoreEvents,
			IgnoreBranches:     src.IgnoreBranches,
			FindService: func(c *change.Change) (change.Service, bool) {
				if found, ok := s.registry.FindMapped(org, sourceID, c.Repository, c.Resource); ok {
					return found, true
				}
				return s.registry.FindService(org, c)
			},
		})
	}
	out := *ready.(*normalizers.Settings)
	if src.DefaultServiceID != "" { // its name may have changed since
		if svc, ok := s.registry.Service(org, src.DefaultServiceID); ok {
			out.DefaultService = change.Service{ID: svc.ID, Name: svc.Name}
		}
	}
	return out
}

// pinned returns the provider that a source pins, empty when it detects; false
// when there is no such source.
func (s *settings) pinned(org, sourceID string) (string, bool) {
	src, ok := s.registry.Source(org, sourceID)
	if !ok {
		return "", false
	}
	if src.Provider == "auto" {
		return "", true
	}
	return src.Provider, true
}

func (s *settings) ofOrg(org string) normalizers.Settings {
	find := func() *normalizers.Settings {
		return &normalizers.Settings{
			FindService: func(c *change.Change) (change.Service, bool) {
				return s.registry.FindService(org, c)
			},
		}
	}
	o, ok := s.registry.Org(org)
	if !ok {
		return *find()
	}
	ready, ok := s.orgs.Load(o)
	if !ok {
		ready = s.keep(&s.orgs, o, find())
	}
	return *ready.(*normalizers.Settings)
}

// keep makes settings ready for the next delivery.
func (s *settings) keep(in *sync.Map, version any, made *normalizers.Settings) any {
	if s.size.Add(1) > maxSettings { // versions that are gone, mostly
		s.sources.Clear()
		s.orgs.Clear()
		s.size.Store(1)
	}
	in.Store(version, made)
	return made
}
