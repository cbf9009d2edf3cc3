package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// echo answers each line with the same.
func echo(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() { // ends with the listener
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return ln.Addr().String()
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// says sends a line and returns what comes back within a while.
func says(c net.Conn, within time.Duration) (string, error) {
	if _, err := fmt.Fprintln(c, "hello"); err != nil {
		return "", err
	}
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return "", err
	}
	return bufio.NewReader(c).ReadString('\n')
}

func TestLine_RefusesAndHeals(t *testing.T) {
	l, err := newLine(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := dial(t, l.Addr)
	if got, err := says(c, 5*time.Second); err != nil || got != "hello\n" {
		t.Fatalf("a whole line says %q, %v", got, err)
	}
	l.Refuse()
	if _, err := says(c, 5*time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an open connection: %v, want it reset", err)
	}
	if _, err := net.Dial("tcp", l.Addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a new connection: %v, want it refused", err)
	}
	if err := l.Heal(); err != nil {
		t.Fatal(err)
	}
	if got, err := says(dial(t, l.Addr), 5*time.Second); err != nil || got != "hello\n" {
		t.Errorf("a healed line says %q, %v", got, err)
	}
}

func TestLine_WhatWasHalfOpenStaysSo(t *testing.T) {
	l, err := newLine(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	before := dial(t, l.Addr)
	if _, err := says(before, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	l.Swallow()
	during := dial(t, l.Addr)
	if _, err := says(during, 100*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a new connection: %v, want silence", err)
	}
	if err := l.Heal(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]net.Conn{"before": before, "during": during} {
		if _, err := says(c, 100*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a connection of %s: %v, want silence for ever", name, err)
		}
	}
	if got, err := says(dial(t, l.Addr), 5*time.Second); err != nil || got != "hello\n" {
		t.Errorf("a healed line says %q, %v", got, err)
	}
}

func TestGate_TroublesStatements(t *testing.T) {
	var inserted atomic.Int64
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Query().Get("query"), "INSERT") {
			inserted.Add(1)
		}
		fmt.Fprint(w, "fine")
	}))
	defer store.Close()
	g, err := newGate(strings.TrimPrefix(store.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	post := func(query string) string {
		resp, err := http.Post("http://"+g.Addr+"/?query="+url.QueryEscape(query), "text/plain", strings.NewReader("rows"))
		if err != nil {
			return "no answer"
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("X-ClickHouse-Exception-Code"), " ", strings.TrimSpace(string(body)))
	}
	const insert, question = "INSERT INTO changes", "SELECT 1"
	var got []string
	for _, t := range []*trouble{nil, &tooManyParts, &lostReply, &lateReply, nil} {
		g.Trouble(t)
		got = append(got, post(insert), post(question))
	}
	want := []string{
		"200  fine", "200  fine",
		"500 252 Code: 252. DB::Exception: " + tooManyParts.text + ". (TOO_MANY_PARTS) (version 26.7.2.1)", "200  fine",
		"no answer", "200  fine",
		"200  fine", "200  fine",
		"200  fine", "200  fine",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	if n := inserted.Load(); n != 4 {
		t.Errorf("%d inserts were done, want 4: a lost reply is that of an insert that was done", n)
	}
}
