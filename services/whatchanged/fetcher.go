package main

import "whatchanged/services/fetcher"

// addFetcher starts what collects the log files that notices name. It commits
// them as the receiver commits requests.
func (s *server) addFetcher() error {
	cfg := fetcher.DefaultConfig()
	cfg.MaxBody = min(cfg.MaxBody, s.bus.MaxRecord()-s.cfg.Receiver.MaxKeptHeaders)
	f, err := fetcher.New(fetcher.Deps{
		Bus: s.bus, Committer: s.lanes, Accounts: s.account, Log: s.log.With("part", "fetcher"), Metrics: s.metrics,
	}, cfg)
	if err != nil {
		return err
	}
	s.parts.Start("fetcher", f.Run)
	return nil
}

// fetches reports whether a source can read the buckets that its notices name.
func (s *server) fetches(org, sourceID string) bool {
	src, ok := s.registry.Source(org, sourceID)
	return ok && src.AWS != nil && !src.Disabled
}

// account returns how a source reads its buckets.
func (s *server) account(org, sourceID string) (fetcher.Account, bool, error) {
	src, ok := s.registry.Source(org, sourceID)
	if !ok || src.AWS == nil || src.Disabled {
		return fetcher.Account{}, false, nil
	}
	secret, err := src.OpenAWS(s.sealer)
	if err != nil {
		return fetcher.Account{}, false, err
	}
	return fetcher.Account{
		Region: src.AWS.Region, AccessKeyID: src.AWS.AccessKeyID, Endpoint: src.AWS.Endpoint, Secret: secret,
	}, true, nil
}
