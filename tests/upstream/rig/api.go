package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

// atOnce is how many requests are under way together. More only queue in the server.
const atOnce = 8

// patience is for how long a request is sent again that the server has no time for: while it starts to serve a kind, and
// while the API server behind it that has the kind is busy.
const patience = time.Minute

type request struct {
	Method string          `json:"method"`
	Path   string          `json:"path"`
	Body   json.RawMessage `json:"body"`
}

type reply struct {
	Status int `json:"status"`
	// Message is what the server says about a refusal.
	Message string `json:"message,omitempty"`
}

type apiServer struct {
	url    string
	host   string
	client *http.Client
}

// newAPIServer reads a kubeconfig of exactly the form that the tests write.
func newAPIServer(path string) (*apiServer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var config struct {
		Clusters []struct {
			Cluster struct {
				Server    string `json:"server"`
				Authority string `json:"certificate-authority"`
			} `json:"cluster"`
		} `json:"clusters"`
		Users []struct {
			User struct {
				Certificate string `json:"client-certificate"`
				Key         string `json:"client-key"`
			} `json:"user"`
		} `json:"users"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, err
	}
	if len(config.Clusters) != 1 || len(config.Users) != 1 {
		return nil, errors.New(path + " does not have exactly one cluster and one user")
	}
	cluster, user := config.Clusters[0].Cluster, config.Users[0].User
	pair, err := tls.LoadX509KeyPair(user.Certificate, user.Key)
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(cluster.Authority)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, errors.New(cluster.Authority + " holds no certificate")
	}
	address, err := url.Parse(cluster.Server)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}},
		MaxIdleConnsPerHost: atOnce,
	}
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	return &apiServer{url: cluster.Server, host: address.Host, client: client}, nil
}

// send sends all requests, in no particular order, and answers in theirs.
func (api *apiServer) send(requests []request) []reply {
	replies := make([]reply, len(requests))
	var group sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i := range requests {
		slots <- struct{}{}
		group.Go(func() {
			replies[i] = api.one(requests[i])
			<-slots
		})
	}
	group.Wait()
	return replies
}

// one sends a request, again and again while the server is not ready for it.
func (api *apiServer) one(r request) (response reply) {
	for end := time.Now().Add(patience); ; time.Sleep(pause) {
		response = api.once(r)
		busy := response.Status == http.StatusTooManyRequests || response.Status == http.StatusServiceUnavailable
		if !busy || time.Now().After(end) {
			return response
		}
	}
}

func (api *apiServer) once(r request) reply {
	sent, err := http.NewRequest(r.Method, api.url+r.Path, bytes.NewReader(r.Body))
	if err != nil {
		return reply{Message: err.Error()}
	}
	sent.Header.Set("Content-Type", "application/json")
	if r.Method == http.MethodPatch {
		sent.Header.Set("Content-Type", "application/apply-patch+yaml")
	}
	response, err := api.client.Do(sent)
	if err != nil {
		return reply{Message: err.Error()}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return reply{Message: err.Error()}
	}
	if response.StatusCode < http.StatusBadRequest {
		return reply{Status: response.StatusCode}
	}
	var status struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &status) != nil || status.Message == "" {
		status.Message = string(body)
	}
	return reply{Status: response.StatusCode, Message: status.Message}
}
