"""The dashboard's server: who may speak to it, who has signed in, what is kept of a closed tab."""
