package registry

import (
	"strings"

	"whatchanged/pkg/change"
	"whatchanged/pkg/glob"
)

// matcher finds the service that a change is about, by the mappings of one
// org's services.
type matcher struct {
	byName       map[string]*Service
	byRepository patterns
	byResource   patterns
	byTag        patterns
	byAccount    patterns
}

// patterns are what services claim: exact names, and globs in which * stands
// for any characters. All compare in lower case.
type patterns struct {
	exact map[string]*Service
	globs []claim
}

type claim struct {
	pattern string
	service *Service
}

// newMatcher indexes services, which come oldest first: where two claim the
// same, the older one keeps it.
func newMatcher(services []*Service) *matcher {
	m := &matcher{byName: map[string]*Service{}}
	for _, s := range services {
		if name := strings.ToLower(s.Name); m.byName[name] == nil {
			m.byName[name] = s
		}
		m.byRepository.add(s, s.Repositories)
		m.byResource.add(s, s.Resources)
		m.byTag.add(s, s.Tags)
		m.byAccount.add(s, s.Accounts)
	}
	return m
}

func (p *patterns) add(s *Service, claims []string) {
	for _, c := range claims {
		c = strings.ToLower(c)
		if strings.Contains(c, "*") {
			p.globs = append(p.globs, claim{c, s})
			continue
		}
		if p.exact == nil {
			p.exact = map[string]*Service{}
		}
		if p.exact[c] == nil {
			p.exact[c] = s
		}
	}
}

// find returns the service that claims name: exactly, else by the longest glob.
func (p *patterns) find(name string) *Service {
	if name == "" || len(p.exact)+len(p.globs) == 0 {
		return nil
	}
	name = strings.ToLower(name)
	if s := p.exact[name]; s != nil {
		return s
	}
	var best claim
	for _, c := range p.globs {
		if len(c.pattern) > len(best.pattern) && glob.Match(c.pattern, name) {
			best = c
		}
	}
	return best.service
}

func (m *matcher) find(c *change.Change) *Service {
	if c.ServiceName != "" {
		if s := m.byName[strings.ToLower(c.ServiceName)]; s != nil {
			return s
		}
	}
	if s := m.byRepository.find(c.Repository); s != nil {
		return s
	}
	for _, name := range [...]string{c.Resource.ID, c.Resource.Name} {
		if s := m.byResource.find(name); s != nil {
			return s
		}
	}
	for _, tag := range c.Tags {
		if s := m.byTag.find(tag); s != nil {
			return s
		}
	}
	return m.byAccount.find(c.Account)
}

// mapping finds the service that a source's own settings give a change to.
type mapping struct {
	source *Source        // whose it is, at this version
	exact  map[string]int // what is matched, to its place in source.Services
	globs  []placed       // in the order of source.Services
}

type placed struct {
	pattern string
	place   int
}

func newMapping(s *Source) *mapping {
	m := &mapping{source: s, exact: map[string]int{}}
	for i, entry := range s.Services {
		pattern := strings.ToLower(entry.Match)
		if strings.Contains(pattern, "*") {
			m.globs = append(m.globs, placed{pattern, i})
		} else if _, known := m.exact[pattern]; !known {
			m.exact[pattern] = i
		}
	}
	return m
}

// find returns the service of the first entry that one of the names matches,
// or "".
func (m *mapping) find(names ...string) (serviceID string) {
	entries := m.source.Services
	best := len(entries)
	for _, name := range names {
		if name == "" {
			continue
		}
		name = strings.ToLower(name)
		if i, ok := m.exact[name]; ok {
			best = min(best, i)
		}
		for _, g := range m.globs {
			if g.place >= best {
				break
			}
			if glob.Match(g.pattern, name) {
				best = g.place
			}
		}
	}
	if best == len(entries) {
		return ""
	}
	return entries[best].ServiceID
}

// FindService returns the service that a change is about: the one whose name
// it says, else by the mappings of the org's services: the repository exactly,
// then by glob ("owner/*"), then in the same way the resource's id, its name,
// each tag in order, and the account. What is nearer to the thing comes first:
// an account holds many. The longest glob wins, then the older service. Case
// does not matter.
func (r *Registry) FindService(org string, c *change.Change) (change.Service, bool) {
	m := r.view.Load().matchers[org]
	if m == nil {
		return change.Service{}, false
	}
	s := m.find(c)
	if s == nil {
		return change.Service{}, false
	}
	return change.Service{ID: s.ID, Name: s.Name}, true
}

// FindMapped returns the service that a source's own settings give a change
// to: that of the first of its Services that matches the repository, or the
// resource's id or name. Case does not matter. They come before FindService.
func (r *Registry) FindMapped(org, sourceID, repository string, res change.Resource) (change.Service, bool) {
	v := r.view.Load()
	m := v.mappings[place{org, sourceID}]
	if m == nil {
		return change.Service{}, false
	}
	s, ok := v.services.get(org, m.find(repository, res.ID, res.Name))
	if !ok {
		return change.Service{}, false
	}
	return change.Service{ID: s.ID, Name: s.Name}, true
}
