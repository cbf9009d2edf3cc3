package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/bus"
)

const clusterSize = 3

// cluster is three NATS servers, each in a network of its own with one cable
// to a switch.
type cluster struct {
	nodes  []*node
	bridge string
}

type node struct {
	*Part
	name  string // of its network namespace, too
	cable string // the host's end
	addr  string
	store string
}

// clusterFaults need root, for network namespaces.
func clusterFaults() []Fault {
	fault := func(name, about string, short bool, strike func(ctx context.Context, r *Round, n *node) error) Fault {
		return Fault{
			Name: "cluster/" + name, About: about, Short: short, Check: checkNamespaces,
			Prepare: func(ctx context.Context, r *Round) error {
				r.Strikes = max(1, r.Strikes/2) // each takes an election or two, and the way back
				if err := r.startCluster(ctx); err != nil {
					return err
				}
				return r.splitUp(r.BusURL)
			},
			Strike: func(ctx context.Context, r *Round) error {
				n, err := r.cluster.leader(ctx, r.BusURL)
				if err != nil {
					return err
				}
				if name == "node" { // any of them
					n = r.cluster.nodes[r.Rand.IntN(clusterSize)]
				}
				if err := r.wait(ctx, 100*time.Millisecond, 600*time.Millisecond); err != nil {
					return err
				}
				return strike(ctx, r, n)
			},
			After: drained,
			Finish: func(ctx context.Context, r *Round) error {
				return errors.Join(unsplit(ctx, r), r.endCluster())
			},
		}
	}
	back := func(ctx context.Context, r *Round, n *node) error {
		if err := r.Target.StartPart(ctx, n.Part); err != nil {
			return err
		}
		return r.cluster.awaitWhole(ctx, r.BusURL)
	}
	kill := func(ctx context.Context, r *Round, n *node) error {
		n.Kill()
		return errors.Join(r.goesOn(ctx), back(ctx, r, n))
	}
	return []Fault{
		fault("leader", "the server that leads the stream of deliveries is killed, and comes again", false, kill),
		fault("node", "one of three servers is killed, and comes again", false, kill),
		fault("partition", "the leader is cut off from the others and from us, and comes back", true,
			func(ctx context.Context, r *Round, n *node) error {
				if err := ip("link", "set", n.cable, "down"); err != nil {
					return err
				}
				went := r.goesOn(ctx)
				if err := ip("link", "set", n.cable, "up"); err != nil {
					return err
				}
				return errors.Join(went, r.cluster.awaitWhole(ctx, r.BusURL))
			}),
		fault("wiped", "one of three servers loses its disk, and comes again with an empty one", false,
			func(ctx context.Context, r *Round, n *node) error {
				n.Kill()
				if err := os.RemoveAll(n.store); err != nil {
					return err
				}
				return errors.Join(r.goesOn(ctx), back(ctx, r, n))
			}),
	}
}

// goesOn waits until webhooks are acknowledged with one server away, and a
// little longer.
func (r *Round) goesOn(ctx context.Context) error {
	begin := time.Now()
	if err := r.awaitAccepted(ctx, 50, 40*time.Second); err != nil {
		return fmt.Errorf("with one server of three away: %w", err)
	}
	r.longest("accepting_with_two_after_ms", time.Since(begin))
	return r.wait(ctx, 200*time.Millisecond, 2*time.Second)
}

func checkNamespaces() error {
	if os.Getuid() != 0 {
		return errors.New("it needs root, for network namespaces")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return errors.New("ip is missing: apt-get install iproute2")
	}
	const probe = "wc-chaos-probe"
	if err := ip("netns", "add", probe); err != nil {
		return err
	}
	return ip("netns", "del", probe)
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// startCluster lays the cables and starts the servers.
func (r *Round) startCluster(ctx context.Context) error {
	tag := fmt.Sprintf("wc%d", os.Getpid()) // short: an interface's name has at most 15 letters
	network := fmt.Sprintf("10.%d.%d.", 200+os.Getpid()%50, os.Getpid()/50%250)
	c := &cluster{bridge: tag + "b"}
	r.cluster = c
	if err := errors.Join(
		ip("link", "add", c.bridge, "type", "bridge"),
		ip("addr", "add", network+"1/24", "dev", c.bridge),
		ip("link", "set", c.bridge, "up"),
	); err != nil {
		return err
	}
	var routes, urls []string
	for i := range clusterSize {
		host := fmt.Sprintf("%s%d", network, 10+i)
		routes = append(routes, "nats://"+net.JoinHostPort(host, "6222"))
		urls = append(urls, "nats://"+net.JoinHostPort(host, "4222"))
	}
	for i := range clusterSize {
		host := fmt.Sprintf("%s%d", network, 10+i)
		n := &node{
			name: fmt.Sprintf("%sn%d", tag, i), cable: fmt.Sprintf("%sv%d", tag, i),
			addr: net.JoinHostPort(host, "4222"), store: filepath.Join(r.DataDir, fmt.Sprintf("bus%d", i)),
		}
		c.nodes = append(c.nodes, n)
		if err := errors.Join(
			ip("netns", "add", n.name),
			ip("link", "add", n.cable, "type", "veth", "peer", "name", "eth0", "netns", n.name),
			ip("link", "set", n.cable, "master", c.bridge, "up"),
			ip("-n", n.name, "addr", "add", host+"/24", "dev", "eth0"),
			ip("-n", n.name, "link", "set", "eth0", "up"),
			ip("-n", n.name, "link", "set", "lo", "up"),
		); err != nil {
			return err
		}
		p, err := natsPart(n.name, n.addr, filepath.Join(r.Dir, n.name+".conf"), n.store,
			fmt.Sprintf("server_name: %s\ncluster { name: chaos, listen: %q, routes: [%s], no_advertise: true }\n",
				n.name, net.JoinHostPort(host, "6222"), strings.Join(routes, ", ")))
		if err != nil {
			return err
		}
		p.Args = append([]string{"netns", "exec", n.name, p.Binary}, p.Args...) // ip becomes the server: one process
		p.Binary = "ip"
		n.Part = p
		if err := r.Target.StartPart(ctx, p); err != nil {
			return err
		}
	}
	r.BusURL = strings.Join(urls, ",")
	return nil
}

// endCluster ends the servers and takes the cables away.
func (r *Round) endCluster() error {
	if r.cluster == nil {
		return nil
	}
	var errs []error
	for _, n := range r.cluster.nodes {
		if n.Part != nil {
			n.Kill()
		}
		errs = append(errs, ip("netns", "del", n.name)) // the cable goes with it
	}
	return errors.Join(append(errs, ip("link", "del", r.cluster.bridge))...)
}

// ask calls f with a connection of our own.
func ask(ctx context.Context, urls string, f func(context.Context, jetstream.JetStream) error) error {
	nc, err := nats.Connect(urls, nats.Timeout(2*time.Second))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return f(ctx, js)
}

// leader returns the server that leads the stream of deliveries.
func (c *cluster) leader(ctx context.Context, urls string) (lead *node, err error) {
	err = ask(ctx, urls, func(ctx context.Context, js jetstream.JetStream) error {
		s, err := js.Stream(ctx, bus.Deliveries)
		if err != nil {
			return err
		}
		for _, n := range c.nodes {
			if info := s.CachedInfo(); info.Cluster != nil && info.Cluster.Leader == n.name {
				lead = n
				return nil
			}
		}
		return errors.New("the stream of deliveries has no leader")
	})
	return lead, err
}

// awaitWhole waits until every stream has all its replicas again, current: the
// next strike may take another server away.
func (c *cluster) awaitWhole(ctx context.Context, urls string) error {
	var last error
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); {
		last = ask(ctx, urls, func(ctx context.Context, js jetstream.JetStream) error {
			list := js.ListStreams(ctx)
			for info := range list.Info() {
				if info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != clusterSize-1 {
					return fmt.Errorf("stream %s is not led, or lacks replicas", info.Config.Name)
				}
				for _, p := range info.Cluster.Replicas {
					if !p.Current || p.Offline {
						return fmt.Errorf("stream %s: %s is not current", info.Config.Name, p.Name)
					}
				}
			}
			return list.Err()
		})
		if last == nil {
			return nil
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("the cluster is not whole again: %w", last)
}
