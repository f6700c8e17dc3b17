package github

import "net/http"

func (s *Server) pageRoutes() http.Handler { return http.NotFoundHandler() }
