"""The interpreter as a service over HTTP (`codeact exec --serve PORT`); FastAPI and uvicorn, extra `serve`."""
