"""The fault kit: real servers, a real service, real faults, and what must hold meanwhile and afterwards."""
