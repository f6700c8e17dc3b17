package main

import (
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
)

// startEtcd returns etcd and the URL of its client port.
func startEtcd(dataDir string) (*embed.Etcd, string, error) {
	// The default preallocates 64 MB twice for each control plane.
	wal.SegmentSizeBytes = 8 << 20

	loopback := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	cfg := embed.NewConfig()
	cfg.Name = "testworld"
	cfg.Dir = filepath.Join(dataDir, "etcd")
	cfg.LogLevel = "error"
	cfg.LogOutputs = []string{"stderr"}
	// A killed process loses nothing; only a crash of the machine would.
	cfg.UnsafeNoFsync = true
	cfg.ListenClientUrls = []url.URL{loopback}
	cfg.AdvertiseClientUrls = []url.URL{loopback}
	cfg.ListenPeerUrls = []url.URL{loopback}
	cfg.AdvertisePeerUrls = []url.URL{loopback}
	cfg.InitialCluster = cfg.Name + "=" + loopback.String()
	cfg.EnableGRPCGateway = false
	// A member waits out an election even alone; the default is a second.
	cfg.TickMs, cfg.ElectionMs = 20, 200

	etcd, err := embed.StartEtcd(cfg)
	if err != nil {
		return nil, "", fmt.Errorf("start etcd on %s (is another control plane using this folder?): %w", cfg.Dir, err)
	}
	select {
	case <-etcd.Server.ReadyNotify():
	case err := <-etcd.Err():
		return nil, "", fmt.Errorf("start etcd on %s: %w", cfg.Dir, err)
	case <-time.After(time.Minute):
		etcd.Close()
		return nil, "", fmt.Errorf("start etcd on %s: not ready after a minute", cfg.Dir)
	}
	return etcd, "http://" + etcd.Clients[0].Addr().String(), nil
}
